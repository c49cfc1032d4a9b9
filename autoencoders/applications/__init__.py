"""Functions `application(run, ...) -> ApplicationResult` that apply a trained run, for example to edit or score images.

They return figures, tables and metrics. They neither save nor show them.
"""
