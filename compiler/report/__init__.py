"""A page that shows how bundles of one voice sound and how fast they are: `page.write_report`.

`table` has the rows that compare bundles, `sounds` the players and drawings, `report.html.j2` the layout.
"""
