"""Compare `s2s` with other toolkits (peers): the same work, each as it ships."""
