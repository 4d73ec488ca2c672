"""Puts the command into the wheel, if there is one.

PORTKEEP_WHEEL_COMMAND is the command, and PORTKEEP_PLATFORM what the wheel is for, such as
manylinux_2_17_x86_64.musllinux_1_1_x86_64. Without them the wheel is for every system and has no command.
"""

import os

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        binary = os.environ.get("PORTKEEP_WHEEL_COMMAND")
        if not binary:
            return
        platform = os.environ["PORTKEEP_PLATFORM"]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["shared_scripts"][os.path.abspath(binary)] = "portkeep"
        source = os.environ.get("PORTKEEP_KERNEL_SOURCE")
        if source:
            # The GPL's "accompany it with the source".
            build_data["force_include"][os.path.abspath(source)] = "portkeep/kernel-part.tar.xz"
