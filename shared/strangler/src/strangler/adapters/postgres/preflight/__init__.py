"""What is looked at and tried before anything is promised."""
