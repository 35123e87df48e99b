"""Acting: policies that are played, evaluated, filmed and exported."""
