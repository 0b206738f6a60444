"""The storefront: settings, addresses, entry points."""
