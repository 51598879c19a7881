"""Which types are directory data when they are about nobody. Everything else about nobody is its custodian's alone."""

DIRECTORY_TYPES = frozenset(
    """
    Organization OrganizationAffiliation Practitioner PractitionerRole Location HealthcareService Endpoint InsurancePlan
    Schedule Slot Device DeviceDefinition DeviceMetric Medication MedicationKnowledge Substance SubstanceNucleicAcid
    SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification
    MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect CatalogEntry
    CapabilityStatement CodeSystem CompartmentDefinition ConceptMap ExampleScenario GraphDefinition ImplementationGuide
    MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap
    TerminologyCapabilities ValueSet TestScript
    ActivityDefinition ChargeItemDefinition EffectEvidenceSynthesis EventDefinition Evidence EvidenceVariable Library Measure
    ObservationDefinition PlanDefinition Questionnaire ResearchDefinition ResearchElementDefinition ResearchStudy
    RiskEvidenceSynthesis SpecimenDefinition
    """.split()
)
