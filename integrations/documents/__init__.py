"""Documents and tables for people: PDF, CSV, XLSX."""
