"""The sidecars in front of kaged: what each set-up needs to know, and the files that it makes of that. Pure apart from
reading its own templates. Values are checked against what every file format can hold; none is quoted."""
