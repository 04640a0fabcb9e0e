"""Names of modules, each as WinDbg's engine shows it for a file of that name."""

from __future__ import annotations

from typing import List

import pytest
from dumpkit.kernel.loaded_modules import LoadedImage
from dumpkit.kernel.module_names import debugger_name, file_name, name_modules

KERNEL = 0xFFFFF80010000000


def images(*paths: str, first: int = KERNEL) -> List[LoadedImage]:
    return [LoadedImage(first + i * 0x100000, 0x5000, path, 1, 2) for i, path in enumerate(paths)]


@pytest.mark.parametrize(
    ("image_name", "name"),
    [
        ("storport.sys", "storport"),
        ("a-b.sys", "a_b"),
        ("a b+c$d%e!f@g(h).sys", "a_b_c_d_e_f_g_h_"),
        ("a.b.c.sys", "a_b_c"),
        ("Microsoft.Bluetooth.AvrcpTransport.sys", "Microsoft_Bluetooth_AvrcpTransport"),
        ("1abc.sys", "1abc"),
        ("0x12.sys", "0x12"),
        ("_x.sys", "_x"),
        ("noext", "noext"),
        ("x.", "x"),
        (".sys", ""),
        ("a\u00e9b.sys", "a_b"),
        ("\u0416\u0416.sys", "__"),
        ("ntoskrnl.exe", "nt"),
        ("NTKRNLMP.EXE", "nt"),
        ("ntkrnlmp.exe.sys", "ntkrnlmp_exe"),
        ("ntoskrnl.sys", "ntoskrnl"),
        ("ntkrla57.exe", "ntkrla57"),
        ("hal.dll", "hal"),
        ("halmacpi.dll", "hal"),
        ("HalExtPL080.dll", "HalExtPL080"),
        ("kdnet.dll", "kdcom"),
        ("kd_02_8086.dll", "kd_02_8086"),
        ("hvix64.exe", "hv"),
    ],
)
def test_a_file_name_becomes_the_engines_name(image_name: str, name: str) -> None:
    assert debugger_name(image_name) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("\\SystemRoot\\system32\\hal.dll", "hal.dll"),
        ("\\??\\C:\\x\\y.sys", "y.sys"),
        ("c:/x/y2.sys", "y2.sys"),
        ("bare.sys", "bare.sys"),
        ("\\ends\\", ""),
    ],
)
def test_a_path_ends_with_the_file_name(path: str, name: str) -> None:
    assert file_name(path) == name


def test_the_first_of_several_modules_with_one_name_keeps_it() -> None:
    modules = name_modules(images("nt.exe", "dup.sys", "DUP.dll", "dup.sys"), None)
    assert [m.name for m in modules] == ["nt", "dup", "DUP_fffff80010200000", "dup_fffff80010300000"]


def test_the_module_at_the_kernels_base_is_nt_whatever_its_file_and_place() -> None:
    modules = name_modules(images("nt.sys", "custom.exe", "ntoskrnl.exe"), KERNEL + 0x100000)
    assert [m.name for m in modules] == [f"nt_{KERNEL:x}", "nt", f"nt_{KERNEL + 0x200000:x}"]


def test_a_module_without_a_name_is_called_after_its_base() -> None:
    (module,) = name_modules(images(" "), None)
    assert module.name == "Unknown_Module_fffff800_10000000"
    assert module.image_name == module.image_path == "Unknown_Module_fffff800`10000000"


def test_modules_are_ascending_and_one_without_a_base_is_left_out() -> None:
    high, low, none = LoadedImage(0x3000, 1, "a", 0, 0), LoadedImage(0x1000, 1, "b", 0, 0), LoadedImage(0, 1, "c", 0, 0)
    assert [m.name for m in name_modules([high, low, none], None)] == ["b", "a"]


def test_of_two_modules_with_one_base_the_last_counts() -> None:
    modules = name_modules([LoadedImage(0x1000, 1, "old.sys", 0, 0), LoadedImage(0x1000, 2, "new.sys", 0, 0)], None)
    assert [(m.name, m.size) for m in modules] == [("new", 2)]


def test_a_module_without_a_size_is_one_page_long() -> None:
    (module,) = name_modules([LoadedImage(0x1000, 0, "a.sys", 0, 0)], None)
    assert module.end == 0x2000
