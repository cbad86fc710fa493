"""The sidecars in front of kaged: one table of the contract's headers, what each set-up needs to know, and the files
that it makes of that. Pure apart from reading its own templates: the command line asks, checks and writes. Values are
checked against what every file format can hold; none is ever quoted or escaped."""
