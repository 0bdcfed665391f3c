"""A page that tells how bundles of one voice sound and how fast they are: `page.write_report`.

`table` has the rows that compare bundles, `sounds` what is heard and drawn, `report.html.j2` how it looks.
"""
