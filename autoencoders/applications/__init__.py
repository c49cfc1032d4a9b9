"""Applications: `application(run, ...) -> ApplicationResult`. They neither save nor show anything."""
