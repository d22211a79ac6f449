"""What all pages share: the style sheet, tables, trend charts, and how templates are read."""
