"""The specialties of the region's experts (SNOMED CT, as in R4's value set c80-practice-codes) and the languages they speak."""

SNOMED = "http://snomed.info/sct"
LANGUAGE_SYSTEM = "urn:ietf:bcp:47"
LANGUAGES = {"zh": "汉语", "ug": "ئۇيغۇرچە", "kk": "قازاقشا", "en": "English"}

SPECIALTIES = {
    "394579002": "Cardiology",
    "394591006": "Neurology",
    "394594003": "Ophthalmology",
    "394604002": "Ear, nose and throat surgery",
    "394582007": "Dermatology",
    "394585009": "Obstetrics and gynaecology",
    "394537008": "Paediatrics",
    "394584008": "Gastroenterology",
    "394583002": "Endocrinology",
    "394589003": "Nephrology",
    "418112009": "Pulmonary medicine",
    "394593009": "Medical oncology",
    "394801008": "Trauma and orthopaedics",
    "394609007": "General surgery",
    "394612005": "Urology",
    "394803006": "Clinical haematology",
    "394810000": "Rheumatology",
    "394807007": "Infectious diseases",
    "394811001": "Geriatric medicine",
    "394602003": "Rehabilitation",
    "394610002": "Neurosurgery",
    "394587001": "Psychiatry",
    "394914008": "Radiology",
    "394802001": "General medicine",
}
"""Code -> what it is called in English."""


def coding(code: str) -> dict[str, str]:
    return {"system": SNOMED, "code": code, "display": SPECIALTIES[code]}
