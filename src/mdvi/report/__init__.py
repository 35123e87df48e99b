"""Reports: statistics, tables, pictures and pages of results, which know nothing of how these were made."""
