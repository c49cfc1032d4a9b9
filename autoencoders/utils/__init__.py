"""General helpers that other packages share, such as checks of options, terminal output, file writes and PCA."""
