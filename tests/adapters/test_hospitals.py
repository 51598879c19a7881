"""A hospital is one configuration entry; a mistake in it is an error, not an open door."""

from pathlib import Path

import pytest

from adapters.hospitals import hospital, load, sender, speakers
from exchange.settings import DEMO_REGION

ENTRY = {"name": "A", "facilities": ["HOSPITAL-A"], "peers": ["10.1.0.0/16"]}


def test_the_demo_region_loads() -> None:
    found = load(DEMO_REGION)
    charsets = {"hospital-a": "utf-8", "hospital-b": "gb18030", "clinic-c": "gb18030"}
    assert {one.id: one.charset for one in found.values()} == charsets


def test_other_tables_are_others_business(tmp_path: Path) -> None:
    path = tmp_path / "region.toml"
    path.write_text('[clients.x]\nsecret = "s"\n[hospitals.h1]\nname = "H"\nfacilities = ["F"]\n', "utf-8")
    assert list(load(path)) == ["h1"]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("h", {"facilites": ["X"]}, "hospitals.h.facilites: is not a setting; known are"),
        ("h", {"name": ""}, "hospitals.h.name: is required"),
        ("h", {"facilities": "X"}, "hospitals.h.facilities: must be a list of strings"),
        ("h", {"charset": "big5"}, "hospitals.h.charset: must be utf-8 or gb18030"),
        ("h", {"timezone": "Asia/Urumqi"}, "hospitals.h.timezone: must be an offset"),
        ("h", {"peers": ["10.1.0.1/16"]}, "hospitals.h.peers: an entry is neither an address nor a network"),
        ("h", {"code_maps": {"L": 1}}, "hospitals.h.code_maps: must map to strings"),
        ("h h", {}, "must be 1 to 31 letters"),
        ("h" * 32, {}, "must be 1 to 31 letters"),
    ],
)
def test_mistakes_are_named(name: str, change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        hospital(name, ENTRY | change)


def test_who_may_speak_for_whom() -> None:
    by_address = hospital("a", ENTRY)
    by_name = hospital("b", {"name": "B", "facilities": ["HOSPITAL-B"], "certificates": ["his.b"]})
    both = hospital("c", ENTRY | {"certificates": ["his.c"]})
    nobody = hospital("d", {"name": "D", "facilities": ["*"]})
    everyone = (by_address, by_name, both, nobody)
    assert speakers(everyone, "10.1.2.3") == [by_address]
    assert speakers(everyone, "::ffff:10.1.2.3", {"his.c"}) == [by_address, both]
    assert speakers(everyone, "192.0.2.1", {"his.b", "his.c"}) == [by_name]
    assert speakers(everyone, "fe80::1") == []


def test_the_named_sender_goes_before_the_open_one() -> None:
    named, open_to_all = hospital("a", ENTRY), hospital("b", ENTRY | {"facilities": ["*"]})
    strict = hospital("c", ENTRY | {"facilities": ["HOSPITAL-C"], "applications": ["LIS"]})
    assert sender((open_to_all, named), "HIS", "HOSPITAL-A") is named
    assert sender((open_to_all, named), "HIS", "ELSEWHERE") is open_to_all
    assert sender((named, strict), "HIS", "HOSPITAL-C") is None
