"""MCi_STATUS: the codes of the manuals, by their mnemonics."""

from __future__ import annotations

import pytest
from dumpkit.kernel.whea.machine_check import AMD, INTEL, error_words, machine_check_status
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (0x0000, "No error", "other"),
        (0x0001, "Unclassified", "other"),
        (0x0005, "Internal parity", "internal"),
        (0x0400, "Internal timer", "internal"),
        (0x0405, "Internal unclassified", "internal"),
        (0x000E, "Generic cache hierarchy L2", "cache"),
        (0x0010, "ITLBL0_ERR", "TLB"),
        (0x0019, "GTLBL1_ERR", "TLB"),
        (0x009F, "RD_CHANNELx_ERR", "memory controller"),
        (0x00C1, "MS_CHANNEL1_ERR", "memory controller"),
        (0x0135, "DCACHEL1_DRD_ERR", "cache"),
        (0x0175, "DCACHEL1_EVICT_ERR", "cache"),
        (0x0150, "ICACHEL0_IRD_ERR", "cache"),
        (0x1152, "ICACHEL2_IRD_ERR", "cache"),
        (0x0800, "BUSL0_SRC_ERR_M_NOTIMEOUT_ERR", "bus"),
        (0x0F0F, "BUSLG_GENERIC_ERR_*_TIMEOUT_ERR", "bus"),
        (0x0E0B, "I/O", "other"),
        (0x2000, "Unknown", "other"),
    ],
)
def test_codes_have_the_manual_s_mnemonics(code: int, words: str, kind: str) -> None:
    assert error_words(code) == (words, kind)


def test_a_status_says_what_its_bits_say() -> None:
    status = machine_check_status(0xFE00000000070F0F)
    assert status.error == "BUSLG_GENERIC_ERR_*_TIMEOUT_ERR"
    assert (status.error_code, status.model_code) == (0x0F0F, 7)
    assert status.is_valid and status.is_overflow and status.is_uncorrected and status.is_context_corrupt
    assert status.has_address and status.has_misc
    assert status.flags == (
        "valid",
        "overflow",
        "uncorrected",
        "error enabled",
        "misc. valid",
        "address valid",
        "processor context corrupt",
    )


def test_a_status_of_nothing_says_nothing() -> None:
    status = machine_check_status(0)
    assert (status.is_valid, status.flags, status.corrected_count) == (False, (), None)


def test_some_bits_are_those_of_one_maker() -> None:
    signaled = 1 << 63 | 1 << 56 | 1 << 44
    assert machine_check_status(signaled).flags == ("valid",)
    assert machine_check_status(signaled, INTEL).flags == ("valid", "signaled")
    assert machine_check_status(signaled, AMD).flags == ("valid", "deferred")


def test_corrected_errors_are_counted_by_intel_only() -> None:
    assert machine_check_status(1 << 63 | 3 << 38, INTEL).corrected_count == 3
    assert machine_check_status(1 << 63 | 3 << 38, AMD).corrected_count is None
    assert machine_check_status(1 << 63 | 1 << 61 | 3 << 38, INTEL).corrected_count is None


@given(st.integers(0, 0xFFFF_FFFF_FFFF_FFFF), st.sampled_from([None, 0, INTEL, AMD, 99]))
def test_every_status_is_decoded(value: int, vendor: int) -> None:
    status = machine_check_status(value, vendor)
    assert status.value == value and status.error
