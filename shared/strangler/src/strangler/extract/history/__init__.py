"""What a project's migrations do in the database that no model says, and how it comes along."""
