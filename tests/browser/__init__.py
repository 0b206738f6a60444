"""People at the storefront, in a real Chromium."""
