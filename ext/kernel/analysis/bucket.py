"""The failure bucket: a name that crashes of the same cause share, and its hash.

The forms and the rule of the hash were found in WinDbg's public transcripts: the GUID of the MD5 of the UTF-16 text
of "km:" and the bucket, both in lower case.
"""

from __future__ import annotations

from struct import unpack_from

from dumpkit.kernel.analysis.blame import INCONCLUSIVE, Culprit
from dumpkit.kernel.analysis.faulting_access import FaultingAccess
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.kernel.exception_record import ACCESS_VIOLATION, fast_fail_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

_ACCESS_LETTERS = {"Read": "R", "Write": "W", "Execute": "X"}


def failure_bucket(
    bugcheck: Bugcheck,
    parameters: Sequence[int],
    culprit: Culprit,
    access: Optional[FaultingAccess],
    process: Optional[str],
    is_paged_code: bool = False,
) -> str:
    """FAILURE_BUCKET_ID of a crash; `is_paged_code` says that the fault was the fetch of pageable code."""
    form = bugcheck.rules.get("bucket") or _default(bugcheck, parameters)
    if is_paged_code and form == "AV_{symbol}":
        form = "AV_CODE_AV_PAGED_IP_{symbol}"
    numbers = [parameters[int(number) - 1] for (number,) in bugcheck.rule("status")]
    words = {
        "symbol": culprit.bucket_symbol,
        "image": culprit.image or INCONCLUSIVE,
        "process": process or "unknown_process",
        "failfast": (fast_fail_name(parameters[0]) or "UNKNOWN").replace("FAST_FAIL_", ""),
        "access": _ACCESS_LETTERS.get(access.operation or "" if access else "", "R"),
        # Argument 4 of 0x50 says why the address could not be used; 2 is an address without a page table.
        "region": "INVALID" if parameters[3] == 2 else "(null)",
        "apc": _apc_words(parameters),
        "status": f"{numbers[0] & 0xFFFF_FFFF:x}" if numbers else "",
    }
    words.update({str(number): f"{value:x}" for number, value in enumerate(parameters, 1)})
    for word, value in words.items():
        form = form.replace(f"{{{word}}}", value)
    return form


def _default(bugcheck: Bugcheck, parameters: Sequence[int]) -> str:
    if bugcheck.rule("fault"):
        return "AV_{symbol}"
    for code, _ in bugcheck.rule("exception"):
        number = parameters[int(code) - 1] & 0xFFFF_FFFF
        return "AV_{symbol}" if number == ACCESS_VIOLATION else f"0x{bugcheck.code:X}_{number:x}_{{symbol}}"
    return f"0x{bugcheck.code:X}_{{symbol}}"


def _apc_words(parameters: Sequence[int]) -> str:
    """Of 0x20: whether there is an APC, and which way its thread's count of disabling is off (a signed word)."""
    apc = "NULLAPC" if not parameters[0] else "APC"
    count = parameters[1] & 0xFFFF
    sign = "NEGATIVE" if count & 0x8000 else "POSITIVE" if count else "ZERO"
    return f"{apc}_KAPC_{sign}"


def failure_hash(bucket: str) -> str:
    """FAILURE_ID_HASH of a kernel's failure bucket: "{b4048e5d-9388-9a34-9958-ec36d87bbe12}"."""
    try:
        # The interpreter's own: `hashlib` loads OpenSSL first.
        from _md5 import md5  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import md5

    digest = md5(f"km:{bucket}".lower().encode("utf-16-le"), usedforsecurity=False).digest()
    first, second, third = unpack_from("<IHH", digest)
    return f"{{{first:08x}-{second:04x}-{third:04x}-{digest[8:10].hex()}-{digest[10:].hex()}}}"
