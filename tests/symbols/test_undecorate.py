"""C++ names as WinDbg shows them; the answers are dbgeng's own."""

from __future__ import annotations

import json
import lzma

import pytest
from dumpkit.symbols.undecorate import shown_name, undecorate
from dumpkit.symbols.undecorate_names import STRING_LITERAL
from hypothesis import example, given
from hypothesis import strategies as st

from tests.shared import SYMBOLS

#: Linkage name -> what dbgeng shows.
SHOWN = {
    "KeBugCheckEx": "KeBugCheckEx",
    "__imp_RtlInitUnicodeString": "_imp_RtlInitUnicodeString",
    "_guard_check_icall_nop": "guard_check_icall_nop",
    "_": "",
    "foo@4": "foo",
    "foo@bar": "foobar",
    "foo@@bar": "foobar",
    "@fast@8": "fast",
    "_at@bar@9x": "atbar",
    "___b@c@d@12": "__bcd",
    ".dot@3": "dot",
    "..imp": "imp",
    "_.d": ".d",
    "#foo": "#foo",
    "__imp_@quick@8": "_imp_quick",
    "__real@3f800000": "_real",
    "__xmm@abababababababababababababababab": "_xmmabababababababababababababababab",
    "__@@_PchSym_@00@KxulyqvxgPill@se": "__PchSym_",
    "?x": "x",
    "?": "?",
    "??x@@": "??x@@",
    "??_C@_07NFANNNEC@UNKNOWN@": "`string'",
    "??_C@_0BD@GJFKBBAF@NominalPerformance@": "`string'",
    "??_C@_07NFANNNEC@UNKNOWN@NNGAKEGL@": " ?? ::NNGAKEGL::`string'",
    "??_C@_17BAELDECM@?$AAK?$AAT?$AAM@EKOMKFNL@": " ?? ::EKOMKFNL::`string'",
    "?FxStubInitTypes@@YAJXZ": "FxStubInitTypes",
    "?bad@@3": "bad",
    "?GetPnpProperty@NT_DISK@@UEAAJPEAXPEAPEAX@Z": "NT_DISK::GetPnpProperty",
    "??2@YAPEAX_K@Z": "operator new",
    "??_V@YAXPEAX@Z": "operator delete[]",
    "??0V@@QEAA@XZ": "V::V",
    "??1V@@UEAA@XZ": "V::~V",
    "??0?$A@H@@QEAA@XZ": "A<int>::A<int>",
    "??1?$A@H@@QEAA@XZ": "A<int>::~A<int>",
    "??$?0H@Foo@@QEAA@H@Z": "Foo::Foo<int>",
    "??BV@@QEBA?AUS@ns@@XZ": "V::operator ns::S",
    "??BV@@QEBAPEBDXZ": "V::operator char const * __ptr64",
    "??BV@@QEBA_NXZ": "V::operator bool",
    "??BFoo@@QEBAP6AHH@ZXZ": "Foo::operator int (__cdecl*)(int)",
    "??$?BH@Foo@@QEAAHXZ": "Foo::operator<int> int",
    "??$?MH@@YA_NH@Z": "operator<<int>",
    "??RV@@QEAAHHZZ": "V::operator()",
    "??_7VB2@@6BVB1@@@": "VB2::`vftable'",
    "??_8VB4@@7BVB2@@@": "VB4::`vbtable'",
    "??_9Foo@@$BA@AA": "Foo::`vcall'{0}'",
    "??_ESquare@geometry@@$4PPPPPPPM@A@EAAPEAXI@Z": "geometry::Square::`vector deleting destructor'",
    "??_GV@@UEAAPEAXI@Z": "V::`scalar deleting destructor'",
    "??_R0?AVFoo@ns@@@8": "ns::Foo `RTTI Type Descriptor'",
    "??_R17?0A@EA@Foo@ns@@8": "ns::Foo::`RTTI Base Class Descriptor at (8,-1,0,64)'",
    "??_R2V@@8": "V::`RTTI Base Class Array'",
    "??_R3V@@8": "V::`RTTI Class Hierarchy Descriptor'",
    "??_R4V@@6B@": "V::`RTTI Complete Object Locator'",
    "??_SFoo@@6B@": "Foo::`local vftable'",
    "??__Efoo@@YAXXZ": "`dynamic initializer for 'foo''",
    "??__E?x@Foo@@2HA@@YAXXZ": "`dynamic initializer for 'Foo::x''",
    "??__F?x@Foo@@2HA@@YAXXZ": "`dynamic atexit destructor for 'Foo::x''",
    "??_B?1??foo@@YAHXZ@51": "`foo'::`2'::`local static guard'",
    "?$TSS0@?1??foo@@YAHXZ@4HA": "`foo'::`2'::$TSS0",
    "?f@Foo@@WBA@EAAXXZ": "Foo::f",
    "?f@Foo@@$R4BA@7PPPPPPPM@7EAAXXZ": "Foo::f",
    "?foo@?A0x12345678@@YAHXZ": "`anonymous namespace'::foo",
    "?Prefix@?1??_CmDeleteDeviceRegKeyWorker@@9@9": "`_CmDeleteDeviceRegKeyWorker'::`2'::Prefix",
    "?x@?BA@??f@@9@9": "`f'::`16'::x",
    "?deep@?1??h@L@?1??outer@@YAHH@Z@SAHH@Z@4HA": "``outer'::`2'::L::h'::`2'::deep",
    "?st@?1??anon@?A0x1@@YAHH@Z@4HA": "``anonymous namespace'::anon'::`2'::st",
    "?inl@?1???R<lambda_0>@?0??outer@@YAHH@Z@QEBA?A?<auto>@@H@Z@4HA": (
        "``outer'::`1'::<lambda_0>::operator()'::`2'::inl"
    ),
    "??$ft@P6AHH@Z@@YAXP6AHH@Z@Z": "ft<int (__cdecl*)(int)>",
    "??$t@U?$A@D@@@?$A@H@@QEAAXU?$A@D@@@Z": "A<int>::t<A<char> >",
    "?f@?$A@$$A6AXHD@Z@@SAXXZ": "A<void __cdecl(int,char)>::f",
    "?f@?$A@$$BY02H@@SAXXZ": "A<int [3]>::f",
    "?f@?$A@$$CDD@@SAXXZ": "A<char const volatile >::f",
    "?f@?$A@A6AHH@Z@@SAXXZ": "A<int (__cdecl&)(int)>::f",
    "?f@?$A@P8V@@EBAHD@Z@@SAXXZ": "A<int (__cdecl V::*)(char)const __ptr64>::f",
    "?f@?$A@PEIAH@@SAXXZ": "A<int * __ptr64 __restrict>::f",
    "?f@?$A@PEQV@@H@@SAXXZ": "A<int V::* __ptr64>::f",
    "?f@?$A@PEAY123H@@SAXXZ": "A<int (* __ptr64)[3][4]>::f",
    "?f@?$A@PEAP6AHH@Z@@SAXXZ": "A<int (__cdecl** __ptr64)(int)>::f",
    "?f@?$A@P6AP6AHH@ZPEAD@Z@@SAXXZ": "A<int (__cdecl*(__cdecl*)(char * __ptr64))(int)>::f",
    "?f@?$A@PEFBH@@SAXXZ": "A<int const __unaligned * __ptr64>::f",
    "?f@?$A@PEBQEAUS@ns@@@@SAXXZ": "A<ns::S * __ptr64 const * __ptr64>::f",
    "?f@?$A@W4E@ns@@@@SAXXZ": "A<enum ns::E>::f",
    "?f@?$A@V?$B@H@@V?$B@D@@@@SAXXZ": "A<B<int>,B<char> >::f",
    "?f@?$D_@$1?g@@3HA@@SAXXZ": "D_<&g>::f",
    "?f@?$X@$E?g@@3HA@@SAXXZ": "X<g>::f",
    "?f@?$X@$H?g@Foo@@QEAAXXZA@@@SAXXZ": "X<{Foo::g,0}>::f",
    "?f@?$I_@$0?GE@@@SAXXZ": "I_<-100>::f",
    "?f@?$L_@$0BCDEFGHIJKLM@@@SAXXZ": "L_<20015998343868>::f",
    "?f@?$P_@HDPEAHPEAHUS@ns@@PEAU12@@@SAXXZ": ("P_<int,char,int * __ptr64,int * __ptr64,ns::S,ns::S * __ptr64>::f"),
}
#: Names of newer compilers, which dbgeng of 2017 does not know.
NEWER = {
    "?f@?$A@$$QEAH@@SAXXZ": "A<int && __ptr64>::f",
    "?f@?$A@$$T@@SAXXZ": "A<std::nullptr_t>::f",
    "?f@?$A@_S@@SAXXZ": "A<char16_t>::f",
    "?f@?$A@P6QHH@Z@@SAXXZ": "A<int (__vectorcall*)(int)>::f",
    "?f@?$A@P6AXH@_E@@SAXXZ": "A<void (__cdecl*)(int) noexcept>::f",
    "?f@?$P_@$$V@@SAXXZ": "P_<>::f",
    "??__K_lit@@YAAEAH_K@Z": 'operator ""_lit',
    "??__MFoo@@QEBAHAEBU0@@Z": "Foo::operator<=>",
}


@pytest.mark.parametrize("linkage", SHOWN)
def test_names_are_shown_as_the_engine_shows_them(linkage):
    assert shown_name(linkage) == SHOWN[linkage]


@pytest.mark.parametrize("linkage", NEWER)
def test_names_of_newer_compilers_follow_the_same_pattern(linkage):
    assert shown_name(linkage) == NEWER[linkage]


def test_what_is_no_decorated_name_is_none_and_shown_as_it_is():
    for linkage in ("?f@?$A@", "?@@", "??", "?f@?Q@@YAXXZ", "??$", "?f@8@@YAXXZ", "?" + "A" * 5000 + "@@3HA"):
        assert undecorate(linkage) is None
        assert shown_name(linkage) == linkage


def test_names_nested_without_end_are_given_up():
    deep = "?f@" + "?$A@U" * 200 + "@" * 400 + "YAXXZ"
    assert undecorate(deep) is None
    assert undecorate("?f@?$A@" + "PEA" * 500 + "H@@SAXXZ") is None


@given(st.text(alphabet="?@$_0123456789ABEHIPQUVWXYZabc<>'", max_size=60).map(lambda text: "?" + text))
@example("??__E??__E??__E")
@example("?x@?1??x@?1??x@?1??")
def test_any_text_is_shown_as_something(linkage):
    assert isinstance(shown_name(linkage), str)


@pytest.mark.skipif(not (SYMBOLS / "isf").is_dir(), reason="../shared with its symbols is not here")
def test_pdbparse_undecorates_the_kernels_names_alike():
    undname = pytest.importorskip("pdbparse.undname").undname
    names = set()
    for path in (SYMBOLS / "isf").glob("*.xz"):
        table = json.loads(lzma.decompress(path.read_bytes()))
        names |= {name for name in table["symbols"] if name.startswith("?")}
    names = {name for name in names if not name.startswith("??_C@")}
    # It gives up on a template of a function type.
    differing = {name for name in names if undname(name, 0x1000) not in (undecorate(name), name)}
    assert len(names) == 470 and differing == set()


def test_a_string_literals_name_is_the_engines():
    assert STRING_LITERAL == "`string'"
