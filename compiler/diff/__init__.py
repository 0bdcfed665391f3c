"""What differs between two bundles: `bundles.diff_bundles`.

`build` compares what was built, `figures` what was measured, and says which figures got worse.
"""
