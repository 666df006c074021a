"""Pages to look at: one HTML file each, without network."""
