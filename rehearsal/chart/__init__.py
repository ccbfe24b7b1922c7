"""A rehearsal of the Helm chart: installed, upgraded, rolled back and removed under load, with pods as processes."""
