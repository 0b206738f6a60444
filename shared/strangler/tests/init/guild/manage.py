from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guild.settings")
print("a project that talks at its start")
execute_from_command_line(sys.argv)
