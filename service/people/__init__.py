"""People, their roles and hours; how they and partner systems prove who they are."""
