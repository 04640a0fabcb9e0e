from __future__ import annotations

import struct
import time

import pytest
from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.objects import Array, BoundType, EnumValue, MemberError, Record, Space
from dumpkit.objects.lists import COMPLETE, ListWalk
from dumpkit.symbols.isf import IsfFile
from dumpkit.symbols.types import BaseType, Member, RecordType

from tests.flat_memory import FlatMemory
from tests.shared import SYMBOLS as SHARED_SYMBOLS
from tests.shared import needs_symbols
from tests.symbols import isf_tables as tables

BASE = 0xFFFF_8000_0000_1000
SIZE = 0x70


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> IsfFile:
    return IsfFile(str(tables.write(tmp_path_factory.mktemp("isf"))), cache=False)


class Party:
    """Some guests in memory, and the types to see them by."""

    def __init__(self, file: IsfFile) -> None:
        self.file = file
        self.memory = FlatMemory({BASE: bytes(0x1000)})
        self.space = Space(self.memory, self.find_type)

    def find_type(self, name: str):
        found = self.file.type(name)
        if found is None:
            raise SymbolError(f"no type {name}")
        return found

    def type(self, name: str) -> BoundType:
        return BoundType(self.space, self.find_type(name))

    def guest(self, at: int = BASE, **values: bytes) -> Record:
        guest = self.type("_GUEST")
        for path, data in values.items():
            self.memory.put(at + guest.offset(path), data)
        return guest.at(at)


@pytest.fixture
def party(file) -> Party:
    return Party(file)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value & (1 << 64) - 1)


def test_numbers_are_plain_numbers_with_their_signs(party):
    guest = party.guest(
        Header=u64(0xFFFFFFFF_00000005), Mood=b"\xfe", Weight=struct.pack("<f", 1.5), Flags=b"\x15\0\0\0"
    )
    assert guest.Header.LowPart == 5
    assert guest.Header.HighPart == -1
    assert guest.Header.QuadPart == -4294967291
    assert guest.Mood == -2
    assert guest.Weight == 1.5
    assert (guest.Flags, guest.Invited, guest.Courses) == (0x15, 1, 0xA)
    assert type(guest.Flags) is int


def test_an_enumeration_knows_its_name(party):
    guest = party.guest(State=struct.pack("<i", -1))
    assert guest.State == -1
    assert (guest.State.name, guest.State.value, str(guest.State)) == ("GuestLost", -1, "GuestLost")
    assert repr(guest.State) == "<_GUEST_STATE.GuestLost: -1>"
    unknown = party.guest(State=struct.pack("<i", 77)).State
    assert isinstance(unknown, EnumValue)
    assert (unknown.name, str(unknown)) == (None, "77")


def test_pointers_to_records_are_followed_only_when_a_member_is_asked_for(party):
    guest = party.guest(Host=u64(BASE + 0x100))
    host = guest.Host
    party.memory.reads = 0
    assert host.address == BASE + 0x100
    assert party.memory.reads == 0
    party.memory.put(BASE + 0x100 + 0xC, b"\x09\0\0\0")
    assert host.Flags == 9
    assert guest.member("Host.Flags") == 9


def test_a_null_pointer_is_a_record_that_is_false(party):
    guest = party.guest()
    assert not guest.Host
    assert guest.Host.address == 0
    with pytest.raises(MemoryReadError):
        guest.Host.Flags  # noqa: B018 - the read is the test


def test_a_function_pointer_is_its_address(party):
    assert party.guest(Toast=u64(0xFFFFF80412345678)).Toast == 0xFFFFF80412345678


def test_members_of_unnamed_records_are_members_too(file):
    number = BaseType("unsigned long", 4, "uint")
    unnamed = RecordType("<unnamed-tag>", 4, "union", lambda: [Member("Inner", 0, lambda: number)])
    outer = RecordType(
        "_OUTER", 8, "struct", lambda: [Member("<unnamed-1>", 0, lambda: unnamed), Member("Last", 4, lambda: number)]
    )
    party = Party(file)
    party.memory.put(BASE, struct.pack("<II", 3, 4))
    record = BoundType(party.space, outer).at(BASE)
    assert (record.Inner, record.Last) == (3, 4)
    assert "Inner" in record.type


def test_a_missing_member_is_named_and_a_missing_attribute(party):
    guest = party.guest()
    with pytest.raises(MemberError, match="_GUEST has no member Shoes"):
        guest.Shoes  # noqa: B018 - the read is the test
    assert not hasattr(guest, "Shoes")
    assert issubclass(MemberError, (SymbolError, AttributeError))
    assert "Flags" in guest.type
    assert "Shoes" not in guest.type
    assert guest.get("Shoes") is None
    assert guest.get("Header.LowPart") == 0
    for path in ("Flags.More", "Scores.x", "Flags[0]", "..", "Host..Flags"):
        with pytest.raises(MemberError):
            guest.member(path)


def test_get_gives_the_default_for_unreadable_memory(party):
    guest = party.type("_GUEST").at(0x1000)
    with pytest.raises(MemoryReadError, match="not in the test's memory"):
        guest.Flags  # noqa: B018 - the read is the test
    assert guest.get("Flags", -1) == -1


def test_what_is_readable_of_a_record_cut_by_a_hole_is_read(party):
    party.memory.runs = {BASE: bytearray(b"\x07" * 0x10)}
    guest = party.type("_GUEST").at(BASE)
    assert guest.Flags == 0x07070707
    with pytest.raises(MemoryReadError) as caught:
        guest.Links.Flink  # noqa: B018 - the read is the test
    assert caught.value.address == BASE + 0x10


def test_what_lies_behind_a_hole_is_read_too(party):
    party.memory.runs = {BASE: bytearray(4), BASE + 0x40: bytearray(struct.pack("<iii", 1, -2, 3))}
    guest = party.type("_GUEST").at(BASE)
    assert list(guest.Scores) == [1, -2, 3]
    assert guest.Scores[1] == -2


def test_arrays_have_length_elements_slices_and_text(party):
    guest = party.guest(Scores=struct.pack("<iii", 5, 6, 7), Initials=b"Ada\0zzzz", Table=u64(1) + u64(2))
    assert isinstance(guest.Scores, Array)
    assert (len(guest.Scores), guest.Scores[-1], guest.Scores[1:], list(guest.Scores)) == (3, 7, [6, 7], [5, 6, 7])
    assert guest.Initials.text() == "Ada"
    assert guest.Initials.bytes() == b"Ada\0zzzz"
    assert [entry.QuadPart for entry in guest.Table] == [1, 2]
    assert guest.member("Table[1].LowPart") == 2
    with pytest.raises(IndexError, match="index 3 of an array of 3"):
        guest.Scores[3]
    assert guest.Scores.element(3) == 0


def test_a_counted_string_is_text_bounded_by_its_length(party):
    text = "Zoë".encode("utf-16-le")
    name = struct.pack("<HHIQ", len(text), 0x100, 0, BASE + 0x800)
    guest = party.guest(Name=name)
    party.memory.put(BASE + 0x800, text + b"garbage")
    assert guest.Name.text() == "Zoë"
    assert party.guest(Name=bytes(16)).Name.text() == ""
    with pytest.raises(MemoryReadError):
        party.guest(Name=struct.pack("<HHIQ", 8, 8, 0, 0x10)).Name.text()
    with pytest.raises(MemberError):
        guest.Header.text()


def test_a_record_knows_its_place(party):
    guest = party.guest()
    assert guest.address_of("Name.Buffer") == BASE + 0x30
    assert party.type("_GUEST").offset("Links.Blink") == 0x18
    assert party.type("_GUEST").containing(BASE + 0x10, "Links") == guest
    assert (int(guest), f"{guest:x}", repr(guest)) == (BASE, f"{BASE:x}", f"_GUEST at {BASE:016x}")
    assert len({guest, party.guest()}) == 1
    assert guest.bytes() == bytes(SIZE)
    assert {"Flags", "LowPart"} & set(dir(guest)) == {"Flags"}


def test_types_give_arrays_enumerations_and_single_values(party):
    party.memory.put(BASE, struct.pack("<qq", 11, 12))
    assert [entry.QuadPart for entry in party.type("_LARGE_INTEGER").array(BASE, 2)] == [11, 12]
    states = party.type("_GUEST_STATE")
    assert states.values["GuestSeated"] == 1
    assert states.value(0).name == "GuestAbsent"
    party.memory.put(BASE, struct.pack("<i", 1))
    assert states.at(BASE).name == "GuestPresent"
    with pytest.raises(SymbolError, match="no enumeration"):
        party.type("_GUEST").value(1)
    with pytest.raises(MemberError):
        states.containing(BASE, "x")


def test_a_type_can_be_read_over_another_address_space(party):
    elsewhere = FlatMemory({0x1000: struct.pack("<II", 1, 2)})
    assert party.type("_LARGE_INTEGER").over(elsewhere).at(0x1000).HighPart == 2


def chain(party: Party, *places: int, close: bool = True) -> int:
    """A circular list of guests; the head is returned."""
    head = BASE + 0xF00
    links = [head, *(place + 0x10 for place in places)]
    following = links[1:] + ([head] if close else [])
    for link, after in zip(links, following):
        party.memory.put(link, u64(after))
        party.memory.put(after + 8, u64(link))
    return head


def test_a_list_gives_its_records_and_ends_complete(party):
    places = [BASE + 0x100, BASE + 0x200, BASE + 0x300]
    head = chain(party, *places)
    walk = ListWalk(party.type("_GUEST"), head, "Links")
    assert walk.ended is None
    assert [guest.address for guest in walk] == places
    assert (walk.ended, walk.complete) == (COMPLETE, True)
    assert [guest.address for guest in ListWalk(party.type("_GUEST"), head, "Links", back=True)] == places[::-1]
    links = party.type("_LIST_ENTRY").at(head)
    assert [guest.address for guest in links.iterate("_GUEST", "Links")] == places


def test_an_empty_list_is_complete(party):
    walk = ListWalk(party.type("_GUEST"), chain(party), "Links")
    assert list(walk) == []
    assert walk.complete


def test_a_damaged_list_ends_with_what_it_had_and_says_why(party):
    places = [BASE + 0x100, BASE + 0x200]
    head = chain(party, *places)
    type = party.type("_GUEST")
    for link, words in (
        (u64(BASE + 0x110), f"the list loops at {BASE + 0x110:016x}"),
        (u64(0), f"null link at {BASE + 0x210:016x}"),
    ):
        party.memory.put(BASE + 0x210, link)
        walk = ListWalk(type, head, "Links")
        assert [guest.address for guest in walk] == places
        assert (walk.ended, walk.complete) == (words, False)
        assert list(walk) == []
    party.memory.put(BASE + 0x210, u64(0x5000))
    walk = ListWalk(type, head, "Links")
    assert len(list(walk)) == 3
    assert walk.ended == "link at 0000000000005000 cannot be read: not in the test's memory"


def test_a_strict_walk_raises_in_the_place_of_the_end(party):
    head = chain(party, BASE + 0x100)
    party.memory.put(BASE + 0x110, u64(0x5000))
    with pytest.raises(MemoryReadError):
        list(ListWalk(party.type("_GUEST"), head, "Links", strict=True))
    party.memory.put(BASE + 0x110, u64(0))
    with pytest.raises(DumpkitError, match="null link"):
        list(ListWalk(party.type("_GUEST"), head, "Links", strict=True))


def test_a_list_is_bounded(party):
    head = chain(party, *range(BASE + 0x100, BASE + 0xE00, 0x80))
    walk = ListWalk(party.type("_GUEST"), head, "Links", limit=5)
    assert len(list(walk)) == 5
    assert walk.ended == "more than 5 entries"


def test_a_singly_linked_list_ends_at_null(party):
    party.memory.put(BASE + 0x20, u64(BASE + 0x120))
    walk = ListWalk(party.type("_GUEST"), BASE + 0x20, "Host")
    assert [guest.address for guest in walk] == [BASE + 0x100]
    assert walk.complete
    with pytest.raises(MemberError, match="no list link"):
        ListWalk(party.type("_GUEST"), BASE, "Flags")
    with pytest.raises(MemberError, match="no member"):
        ListWalk(party.type("_GUEST"), BASE, "Nothing")


@needs_symbols
def test_a_wait_reason_has_its_name_although_it_is_declared_as_a_byte(tmp_path):
    isf = SHARED_SYMBOLS / "isf" / "5278AFF86C341677D7D7835C85B7B844-1.json.xz"
    party = Party(IsfFile(str(isf), cache=tmp_path))
    thread = party.type("_KTHREAD")
    party.memory.put(BASE + thread.offset("WaitReason"), b"\x0f")
    party.memory.put(BASE + thread.offset("ApcState.Process"), u64(0xFFFFA000_00001000))
    view = thread.at(BASE)
    assert (view.WaitReason.name, view.WaitReason.value) == ("WrQueue", 15)
    assert view.State.name == "Initialized"
    assert view.ApcState.Process.address == 0xFFFFA000_00001000
    assert view.ApcState.Process.type.name == "_KPROCESS"


def test_members_are_read_fast_enough_for_the_kernel_model(party):
    guest = party.type("_GUEST").at
    party.guest()
    began = time.process_time()
    for _ in range(10_000):
        view = guest(BASE)
        view.Flags, view.State, view.Mood, view.Courses, view.Toast  # noqa: B018 - the reads are the test
    rate = 50_000 / (time.process_time() - began)
    print(f"{rate:,.0f} members a second")  # noqa: T201 - the figure asked for
    assert rate > 100_000


@pytest.mark.parametrize("path", ["", ".", "a..b", "a.", "[x]", "a[", "a]", "a[1", ".[0]", "Flags[]"])
def test_what_is_no_path_of_members_is_refused(party, path):
    with pytest.raises(MemberError):
        party.type("_GUEST").at(BASE).member(path)
