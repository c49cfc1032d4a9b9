"""Applications: `application(run, ...) -> ApplicationResult`, one question each. They neither save nor show anything."""
