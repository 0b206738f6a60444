"""What can point at a row of another side: by any column, with and without a constraint."""
