"""What every pipeline runs for one project, and the gate that keeps a contract from breaking under its consumers."""
