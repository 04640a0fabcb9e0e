"""User mode in a complete dump: a process's modules, and stacks that go on into it."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import pytest
from dumpkit.kernel.process import Process
from dumpkit.kernel.user_modules import user_modules
from dumpkit.session import Session
from dumpkit.symbols.types import BaseType, Member, RecordType

from tests.forge.assembly import Code
from tests.forge.image import Image
from tests.forge.image_sections import PDATA, RDATA, RELOC, TEXT
from tests.forge.image_tables import CodeView
from tests.forge.kernel_variables import add_debugger_data, set_bugcheck
from tests.forge.machine import Machine
from tests.forge.pdb import Pdb
from tests.forge.process import add_process
from tests.forge.processor import context_record
from tests.forge.scene import Place, Scene
from tests.forge.shared_data import add_shared_data
from tests.forge.stack import KernelStack
from tests.forge.structure import Structure
from tests.forge.sync import add_event
from tests.forge.thread import add_thread, wait
from tests.forged_session import drop_page, session_for
from tests.running import run, run_lines
from tests.thread_machine import BASES, CRASH_TIME, UPTIME

PEB, LOADER_DATA, USER_STACK = 0x7D683000, 0x7D690000, 0x7D8FF000
NTDLL, PROGRAM = 0x7FF834650000, 0x7FF7EBEA0000


def user_image(file: str, base: int, number: int) -> Image:
    image = Image(file, base, 0x60000000 + number, size=0x8000)
    image.section(".text", TEXT, 0x1000, 0x1000)
    image.section(".rdata", RDATA, 0x2000, 0x1000)
    image.section(".pdata", PDATA, 0x3000, 0x1000)
    image.section(".reloc", RELOC, 0x4000, 0x1000)
    image.set_codeview(CodeView(f"{file.rsplit('.', 1)[0]}.pdb", f"F0D6E0000000000000000000{number:08X}"))
    return image


class UserLab:
    """A thread that waits in a system service of a program with two images."""

    def __init__(self, folder: Path, drop: Tuple[int, ...] = (), break_list: bool = False) -> None:
        scene = self.scene = Scene(19041, BASES)
        scene.define("test!Worker")
        nt = scene.images["nt"]
        self._define_service(scene, nt)
        self.images = [user_image("ntdll.dll", NTDLL, 0x71), user_image("my program.exe", PROGRAM, 0x72)]
        ntdll, program = self.images
        # mov r10,rcx; mov eax,4; test; jne; syscall; ret: as system services begin in every ntdll.
        service = Code().hex("4c8bd1 b804000000 f604250803fe7f01 7503 0f05 c3")
        ntdll.function("NtWaitForSingleObject", service)
        ntdll.function("RtlUserThreadStart", self._body(0x28, 0x28))
        program.function("main", self._body(0x48, 0x30))
        machine = self.machine = scene.open()
        for image in self.images:
            for rva, page in image.pages(whole=True):
                machine.put(image.base + rva, page)
        process = add_process(machine, "my program.exe", 0x20F0, None, scene.objects, parent=4)
        process["Peb"] = PEB
        self._loader_data(machine)
        if break_list:
            machine.put_u64(LOADER_DATA + 0x10, 0x7D999000)
        self.thread = self._thread(machine, scene, process)
        self._finish(machine, scene)
        for address in drop:
            drop_page(machine, address)
        pdbs = [*scene.symbols(), *(Pdb(image, [], private=False) for image in self.images)]
        kernel = pdbs[0]
        layouts = machine.layouts
        pdbs[0] = Pdb(nt, [*(layouts.type(name) for name in layouts), loader_type(machine)], private=False)
        assert pdbs[0].name == kernel.name
        self.session: Session = session_for(machine, pdbs, folder, 5)
        self.process = Process(self.session.dump, process.address)

    @staticmethod
    def _body(frame: int, at: int) -> Code:
        from tests.forge.unwind import Alloc

        return Code().prologue(Alloc(frame)).nop_to(at - 2).hex("ffd0").nop(8).epilogue()

    @staticmethod
    def _define_service(scene: Scene, nt: Image) -> None:
        from tests.forge.unwind import Alloc, MachineFrame

        code = Code().prologue(MachineFrame(False), Alloc(0x100)).nop_to(0x23).hex("ffd0").nop(8)
        nt.function("KiSystemServiceCopyEnd", code)
        scene.places["nt!KiSystemServiceCopyEnd"] = Place(nt.base + nt.rva_of("KiSystemServiceCopyEnd"), 0x100, 0x25)

    def _loader_data(self, machine: Machine) -> None:
        machine.place("_PEB", PEB)["Ldr"] = LOADER_DATA
        machine.put(LOADER_DATA, bytes(0x60))
        links: List[int] = []
        for number, image in enumerate(self.images):
            entry = machine.place("_LDR_DATA_TABLE_ENTRY", LOADER_DATA + 0x200 * (number + 1))
            entry.set({"DllBase": image.base, "SizeOfImage": image.size})
            text = LOADER_DATA + 0x800 + 0x100 * number
            for member, name in (("BaseDllName", image.name), ("FullDllName", f"C:\\bin\\{image.name}")):
                raw = name.encode("utf-16-le")
                machine.put(text, raw)
                entry.set({f"{member}.Length": len(raw), f"{member}.MaximumLength": len(raw), f"{member}.Buffer": text})
                text += 0x80
            links.append(entry.at("InLoadOrderLinks"))
        machine.link(LOADER_DATA + 0x10, links)

    def _thread(self, machine: Machine, scene: Scene, process: Structure) -> Structure:
        ntdll, program = self.images
        machine.put(USER_STACK - 0x1000, bytes(0x2000))
        top = USER_STACK + 0x800
        main = ntdll.base + ntdll.rva_of("RtlUserThreadStart") + 0x28
        machine.put_u64(top - 0x30, 0)
        machine.put_u64(top - 0x8, 0)
        # RtlUserThreadStart's frame lies below the top, main's below that one.
        outer = top - 8 - 0x28
        machine.put_u64(outer - 8, main)
        inner = outer - 8 - 0x48
        machine.put_u64(inner - 8, program.base + program.rva_of("main") + 0x30)
        service = ntdll.base + ntdll.rva_of("NtWaitForSingleObject")
        stack = KernelStack(machine, 0xFFFFFE8030010000, mapped=0x2000)
        stack.rsp -= 0x28
        machine.put_u64(stack.rsp, service + 0x14, 0x33, 0x246, inner - 8, 0x2B)
        stack.rsp -= 0x100
        caller = scene.return_into("nt!KiSystemServiceCopyEnd")
        for symbol in ("KeWaitForSingleObject", "KiCommitThreadWait", "KiSwapThread", "KiSwapContext"):
            stack.call(caller, scene.places[f"nt!{symbol}"].frame)
            caller = scene.return_into(f"nt!{symbol}")
        stack.switch_out(caller)
        thread = add_thread(machine, process, 0x1C4C, stack, objects=scene.objects, teb=0x7D684000)
        wait(thread, 6, [add_event(machine)], user_mode=True)
        return thread

    def _finish(self, machine: Machine, scene: Scene) -> None:
        stack = KernelStack(machine, 0xFFFFFE8012340000)
        registers = scene.bugcheck(stack, ["nt!KiStartSystemThread", "nt!PspSystemThreadStartup", "test!Worker"])
        scene.processor(0, 0xFFFFF8022E5E1000, registers, stack)
        add_shared_data(machine, CRASH_TIME, UPTIME, 1)
        add_debugger_data(machine)
        set_bugcheck(machine, 0xE2)
        machine.header.update(processors=1, context=context_record(registers), exception_code=0x80000003)
        machine.header.update(exception_address=registers["rip"])

    def stack(self) -> List[str]:
        lines = run_lines(self.session, f"t -d {self.thread.address:x}")
        return [line.split()[3] for line in lines if " nt!" in line or " ntdll!" in line or "my_program" in line]


def loader_type(machine: Machine) -> RecordType:
    """_PEB_LDR_DATA as public symbols have it, which the forge's tables leave out."""
    link = machine.layouts.type("_LIST_ENTRY")
    word = BaseType("unsigned long", 4, "uint")
    rows = [("Length", 0, word), ("InLoadOrderModuleList", 0x10, link), ("InMemoryOrderModuleList", 0x20, link)]
    return RecordType(
        "_PEB_LDR_DATA", 0x58, "struct", lambda: [Member(name, at, lambda type=type: type) for name, at, type in rows]
    )


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> UserLab:
    return UserLab(tmp_path_factory.mktemp("user"))


def test_a_processs_modules_are_its_loaders(at: UserLab) -> None:
    found = user_modules(at.process)
    assert [(module.base, module.name, module.image_name) for module in found.modules] == [
        (PROGRAM, "my_program", "my program.exe"),
        (NTDLL, "ntdll", "ntdll.dll"),
    ]
    assert found.modules[1].image_path == "C:\\bin\\ntdll.dll"
    assert found.modules[1].timestamp == at.images[0].stamp
    assert found.problem is None


def test_a_stack_goes_on_into_user_mode(at: UserLab) -> None:
    assert at.stack() == [
        "nt!KiSwapContext+0x76",
        "nt!KiSwapThread+0x500",
        "nt!KiCommitThreadWait+0x14f",
        "nt!KeWaitForSingleObject+0x233",
        "nt!KiSystemServiceCopyEnd+0x25",
        "ntdll!NtWaitForSingleObject+0x14",
        "my_program!main+0x30",
        "ntdll!RtlUserThreadStart+0x28",
    ]


def test_the_last_frame_of_user_mode_returns_nowhere(at: UserLab) -> None:
    rows = run(at.session, f"t -d {at.thread.address:x}").stack.frames
    assert rows[-1].return_address == 0
    assert [row.found_by for row in rows[5:]] == ["unwound"] * 3
    # The jump from the kernel's stack to the other is no frame's size.
    assert rows[4].size is None


def test_thread_shows_user_mode_too(at: UserLab) -> None:
    lines = run_lines(at.session, f"!thread {at.thread.address:x} e")
    assert [line.split()[2] for line in lines[-3:]] == [
        "ntdll!NtWaitForSingleObject+0x14",
        "my_program!main+0x30",
        "ntdll!RtlUserThreadStart+0x28",
    ]


def test_processes_are_found_by_their_modules(at: UserLab) -> None:
    lines = run_lines(at.session, "!process /m ntdll 0 0")
    assert [line for line in lines if "Image:" in line] == ["    Image: my program.exe"]


def test_without_the_programs_pages_one_frame_of_user_mode_is_left(tmp_path: Path) -> None:
    here = UserLab(tmp_path, drop=(PEB,))
    found = user_modules(here.process)
    assert found.modules == () and found.problem is not None and found.problem.startswith("its PEB is not in the dump")
    lines = run_lines(here.session, f"t -d {here.thread.address:x}")
    address = NTDLL + here.images[0].rva_of("NtWaitForSingleObject") + 0x14
    assert lines[-1].endswith(f" 0000000000000000 0x{address:x}")


def test_a_broken_list_of_modules_is_told(tmp_path: Path) -> None:
    found = user_modules(UserLab(tmp_path, break_list=True).process)
    assert found.problem is not None and "ends early" in found.problem
