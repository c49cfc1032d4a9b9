"""One question each: `application(run, ...) -> Findings`. They neither save nor show; the gallery delivers."""
