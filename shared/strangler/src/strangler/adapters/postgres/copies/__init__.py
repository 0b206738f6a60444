"""The copy of a capability: made first, proved equal, mended, and made anew behind a lost stream."""
