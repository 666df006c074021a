"""What `s2s` is measured by: the same work, done by it and by its peers, each as it ships."""
