"""The local stack: databases, broker, processes and gateway of a project on one machine, without root
and without anything installed but Python packages."""
