"""KUSER_SHARED_DATA: the page that every Windows has at fffff780`00000000."""

from __future__ import annotations

from tests.forge.machine import Machine
from tests.forge.structure import Structure

ADDRESS = 0xFFFF_F780_0000_0000
TICK = 156250


def add_shared_data(
    machine: Machine,
    system_time: int,
    uptime: int,
    processors: int,
    product: int = 1,
    suite: int = 0x110,
    bias: int = 0,
) -> Structure:
    """Times, tick count, build and product. `system_time` is a FILETIME; `uptime` and `bias` are 100 ns units."""
    data = machine.place("_KUSER_SHARED_DATA", ADDRESS)
    for name, value in (("SystemTime", system_time), ("InterruptTime", uptime), ("TimeZoneBias", bias)):
        data.set({f"{name}.LowPart": value, f"{name}.High1Time": value >> 32, f"{name}.High2Time": value >> 32})
    values = {
        "TickCountMultiplier": 0xFA00000,
        "TickCountQuad": uptime // TICK,
        "NtBuildNumber": machine.build,
        "NtProductType": product,
        "ProductTypeIsValid": 1,
        "NativeProcessorArchitecture": 9,
        "NtMajorVersion": 10 if machine.build >= 10240 else 6,
        "SuiteMask": suite,
        "ImageNumberLow": 0x8664,
        "ImageNumberHigh": 0x8664,
        "NtSystemRoot": "C:\\Windows".encode("utf-16-le"),
        "ActiveProcessorCount": processors,
        "ActiveGroupCount": 1,
    }
    # An older Windows has not all of them.
    data.set({name: value for name, value in values.items() if name in data})
    machine.set_global("KeMaximumIncrement", TICK, 4)
    machine.set_global("KeTimeIncrement", TICK, 4)
    machine.set_global("KeBootTime", system_time - uptime)
    machine.header.update(system_time=system_time, system_up_time=uptime, product_type=product, suite_mask=suite)
    return data
