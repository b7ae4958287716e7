"""Checks that a command reaches nothing but its workspace. Where they succeed, they do no harm."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from pathlib import Path

from sandbox.attacks.stage import LIMITS, MIB, Broken, Check, Stage

_READ = """
import os, sys
def read(path):
    try:
        with open(path) as file:
            if file.read():
                print('ESCAPED: read', path)
    except OSError:
        pass
"""

_WRITE = """
import os, sys
def write(path):
    try:
        with open(path, 'w') as file:
            file.write('x')
        os.unlink(path)
        print('ESCAPED: wrote', path)
    except OSError:
        pass
"""

_LIBC = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
"""


async def cannot_write_outside(stage: Stage) -> None:
    """Nothing can be written beside the workspace, in the home, or in the system."""
    code = _WRITE + (
        "import secrets\n"
        "for folder in (*sys.argv[1:], '/', '/usr', '/usr/bin', '/etc', '/var', '/dev', '/run', sys.prefix,\n"
        "               sys.base_prefix):\n"
        "    write(os.path.join(folder, '.nightschool-contract-' + secrets.token_hex(4)))\n"
        "print('TRIED')"
    )
    await stage.attack(code, str(stage.neighbour), str(stage.home))


async def cannot_read_a_secret(stage: Stage) -> None:
    """Neither the user's home nor a neighbouring folder can be read or listed."""
    code = _READ + (
        "for folder in sys.argv[1:]:\n"
        "    read(folder + '/secret.txt')\n"
        "    try:\n"
        "        if os.path.basename(folder) in os.listdir(os.path.dirname(folder)):\n"
        "            print('ESCAPED: saw', folder)\n"
        "    except OSError:\n"
        "        pass\n"
        "for path in ('/etc/shadow', '/etc/sudoers'):\n"
        "    read(path)\n"
        "print('TRIED')"
    )
    await stage.attack(code, str(stage.home), str(stage.neighbour))


async def cannot_follow_links_out(stage: Stage) -> None:
    """Symbolic links, hard links and links in `/proc` lead nowhere outside."""
    code = _READ + _WRITE + (
        "for number, folder in enumerate(sys.argv[1:]):\n"
        "    os.symlink(folder, f'folder{number}')\n"
        "    os.symlink(folder + '/secret.txt', f'file{number}')\n"
        "    read(f'folder{number}/secret.txt'); read(f'file{number}'); write(f'folder{number}/new')\n"
        "    try:\n"
        "        os.link(folder + '/secret.txt', f'hard{number}')\n"
        "        read(f'hard{number}')\n"
        "    except OSError:\n"
        "        pass\n"
        "    for process in ('1', 'self', str(os.getppid())):\n"
        "        read(f'/proc/{process}/root{folder}/secret.txt')\n"
        "        read(f'/proc/{process}/cwd/../neighbour/secret.txt')\n"
        "print('TRIED')"
    )  # fmt: skip
    await stage.attack(code, str(stage.neighbour), str(stage.home))


async def cannot_climb_out(stage: Stage) -> None:
    """`..` leads nowhere outside, nor does changing the root."""
    code = _READ + (
        "read('../neighbour/secret.txt')\n"
        "read(os.path.relpath(sys.argv[1]) + '/secret.txt')\n"
        "folder = os.open('..', os.O_RDONLY)\n"
        "for _ in range(20):\n"
        "    try:\n"
        "        folder = os.open('..', os.O_RDONLY, dir_fd=folder)\n"
        "        if os.path.exists(f'/proc/self/fd/{folder}{sys.argv[1]}/secret.txt'):\n"
        "            print('ESCAPED: climbed to', sys.argv[1])\n"
        "            break\n"
        "    except OSError:\n"
        "        break\n"
        "print('TRIED')"
    )
    await stage.attack(code, str(stage.home))


async def cannot_reach_the_network_by_ip(stage: Stage) -> None:
    """No listener outside can be reached by address, nor an abstract socket."""
    name = f"\0nightschool-{stage.mark}"
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen()
        code = (
            "import socket, sys\n"
            # connecting a datagram socket sends nothing, it only asks for a route; the address is nobody's
            "for family, kind, address in (\n"
            "    (socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', int(sys.argv[1]))),\n"
            "    (socket.AF_UNIX, socket.SOCK_STREAM, '\\0nightschool-' + sys.argv[2]),\n"
            "    (socket.AF_INET, socket.SOCK_DGRAM, ('192.0.2.1', 9)),\n"
            "):\n"
            "    try:\n"
            "        with socket.socket(family, kind) as tried:\n"
            "            tried.settimeout(2)\n"
            "            tried.connect(address)\n"
            "            print('ESCAPED: reached', ascii(address))\n"
            "    except OSError:\n"
            "        pass\n"
            "print('TRIED')"
        )
        await stage.attack(code, str(listener.getsockname()[1]), stage.mark)


async def cannot_reach_the_network_by_name(stage: Stage) -> None:
    """No listener outside can be reached by name."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = (
            "import socket, sys\n"
            "for name in ('localhost', 'ip4-localhost', socket.gethostname()):\n"
            "    try:\n"
            "        socket.create_connection((name, int(sys.argv[1])), 2)\n"
            "        print('ESCAPED: reached', name)\n"
            "    except OSError:\n"
            "        pass\n"
            "print('TRIED')"
        )
        await stage.attack(code, str(listener.getsockname()[1]))


async def cannot_see_other_processes(stage: Stage) -> None:
    """Processes outside, and their environments, are not there."""
    stage.bystander()
    # given in halves, so that the command's own arguments are no find
    halves = (stage.mark[:12], stage.mark[12:], stage.secret[:12], stage.secret[12:])
    code = (
        "import glob, sys\n"
        "mark, secret = sys.argv[1] + sys.argv[2], sys.argv[3] + sys.argv[4]\n"
        "for folder in glob.glob('/proc/[0-9]*'):\n"
        "    for name in ('cmdline', 'environ'):\n"
        "        try:\n"
        "            with open(f'{folder}/{name}', 'rb') as file:\n"
        "                found = file.read().decode(errors='replace')\n"
        "        except OSError:\n"
        "            continue\n"
        "        if mark in found or secret in found:\n"
        "            print('ESCAPED: saw the', name, 'of a process outside')\n"
        "print('TRIED')"
    )
    await stage.attack(code, *halves)


async def cannot_signal_other_processes(stage: Stage) -> None:
    """A process outside cannot be ended."""
    pid = stage.bystander()
    code = "import os, sys\ntry:\n    os.kill(int(sys.argv[1]), 9)\nexcept OSError:\n    pass\nprint('TRIED')"
    await stage.attack(code, str(pid))
    await asyncio.sleep(0.1)
    if not stage.bystander_lives():
        raise Broken("ended a process outside")


async def cannot_kill_its_parent(stage: Stage) -> None:
    """Killing everything in reach, parent and first process included, ends nothing outside."""
    stage.bystander()
    code = (
        "import glob, os, signal, sys\n"
        "mark = sys.argv[1] + sys.argv[2]\n"
        "for path in glob.glob('/proc/[0-9]*/cmdline'):\n"
        "    try:\n"
        "        with open(path) as file:\n"
        "            seen = mark in file.read()\n"
        "    except OSError:\n"
        "        continue\n"
        "    if seen:\n"
        # going on from here would end the user's own processes
        "        print('ESCAPED: its parent is a process outside')\n"
        "        break\n"
        "else:\n"
        "    print('TRIED', flush=True)\n"
        "    for pid in (os.getppid(), 1, -1):\n"
        "        try:\n"
        "            os.kill(pid, signal.SIGKILL)\n"
        "        except OSError:\n"
        "            pass\n"
    )
    await stage.attack(code, stage.mark[:12], stage.mark[12:])
    if not stage.bystander_lives():
        raise Broken("ended a process outside")
    if (await stage.run("true")).exit_code != 0:
        raise Broken("no command can be run any more")


async def cannot_mount(stage: Stage) -> None:
    """Nothing can be mounted, remounted or unmounted."""
    code = _LIBC + (
        "os.makedirs('mount', exist_ok=True)\n"
        "REMOUNT, BIND = 32, 4096\n"
        "if libc.mount(b'none', b'mount', b'tmpfs', 0, None) == 0:\n"
        "    libc.umount2(b'mount', 2)\n"
        "    print('ESCAPED: mounted')\n"
        "else:\n"
        "    for path in (b'/', b'/usr', b'/proc', b'/etc/passwd'):\n"
        "        if libc.mount(b'none', path, None, REMOUNT | BIND, None) == 0:\n"
        "            print('ESCAPED: remounted', path)\n"
        "    for path in (b'/proc/1', b'/tmp', b'/proc'):\n"
        "        if libc.umount2(path, 2) == 0:\n"
        "            print('ESCAPED: unmounted', path)\n"
        "print('TRIED')"
    )
    await stage.attack(code)


async def cannot_nest_namespaces(stage: Stage) -> None:
    """No further namespaces, which are where most kernel holes are reached from."""
    code = _LIBC + (
        "for name, flag in (('user', 0x10000000), ('mount', 0x20000), ('network', 0x40000000)):\n"
        "    if libc.unshare(flag) == 0:\n"
        "        print('ESCAPED: a new', name, 'namespace')\n"
        "print('TRIED')"
    )
    await stage.attack(code)


async def cannot_gain_privileges(stage: Stage) -> None:
    """No capability is held, none can be gained by running a program, and the user is not root."""
    code = (
        "import os\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):\n"
        "    if int(status[name], 16):\n"
        "        print('ESCAPED: has', name, status[name].strip())\n"
        "if status['NoNewPrivs'].strip() != '1':\n"
        "    print('ESCAPED: programs may raise privileges')\n"
        "if os.getuid() == 0:\n"
        "    print('ESCAPED: is root')\n"
        "print('TRIED')"
    )
    await stage.attack(code)


async def cannot_change_the_kernel(stage: Stage) -> None:
    """No switch of the kernel can be opened for writing; they are opened, never written."""
    code = (
        "import os\n"
        "for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname',\n"
        "             '/proc/sys/vm/drop_caches', '/proc/sysrq-trigger', '/sys/power/state',\n"
        "             '/sys/kernel/uevent_helper', '/proc/1/mem', '/proc/1/exe', '/dev/mem', '/dev/kmsg'):\n"
        "    try:\n"
        "        os.close(os.open(path, os.O_WRONLY))\n"
        "        print('ESCAPED: opened', path)\n"
        "    except OSError:\n"
        "        pass\n"
        "if os.path.isdir('/sys/fs/cgroup/') and os.listdir('/sys/fs/cgroup/'):\n"
        "    print('ESCAPED: sees the cgroups')\n"
        "print('TRIED')"
    )
    await stage.attack(code)


async def has_a_temporary_folder_of_its_own(stage: Stage) -> None:
    """`/tmp` is private, and neither it nor `/dev/shm` holds more than its bound."""
    shared = Path(tempfile.mkdtemp(prefix="nightschool-contract-tmp-", dir="/tmp"))
    bound = LIMITS.file_bytes // MIB
    code = (
        "import os, sys\n"
        "if os.path.exists(sys.argv[1]):\n"
        "    print('ESCAPED: sees', sys.argv[1])\n"
        "for root in ('/tmp', '/var/tmp', '/dev/shm'):\n"
        "    folder = os.path.join(root, os.path.basename(sys.argv[1]) + '-filled')\n"
        "    written = 0\n"
        "    try:\n"
        "        os.mkdir(folder)\n"
        f"        for number in range({2 * bound}):\n"
        "            with open(f'{folder}/{number}', 'wb') as file:\n"
        f"                file.write(b'x' * {MIB})\n"
        "            written += 1\n"
        "    except OSError:\n"
        "        pass\n"
        f"    if written > {bound}:\n"
        "        print('ESCAPED: put', written, 'MiB into', root)\n"
        "print('TRIED')"
    )
    try:
        await stage.attack(code, str(shared))
    finally:
        for root in ("/tmp", "/var/tmp", "/dev/shm"):
            shutil.rmtree(Path(root) / f"{shared.name}-filled", ignore_errors=True)
        shutil.rmtree(shared, ignore_errors=True)


CHECKS = [
    Check("isolation", function)
    for function in (
        cannot_write_outside,
        cannot_read_a_secret,
        cannot_follow_links_out,
        cannot_climb_out,
        cannot_reach_the_network_by_ip,
        cannot_reach_the_network_by_name,
        cannot_see_other_processes,
        cannot_signal_other_processes,
        cannot_kill_its_parent,
        cannot_mount,
        cannot_nest_namespaces,
        cannot_gain_privileges,
        cannot_change_the_kernel,
        has_a_temporary_folder_of_its_own,
    )
]
