"""What every process needs, whatever it does: logs and traces, figures, and how many requests it takes and works on.

Knows the settings and nothing else of the chassis.
Public: `admission.AdmissionMiddleware`, `logs.RequestIdMiddleware`, `logs.configuration`, `tracing.TraceMiddleware`,
`tracing.current_traceparent`, `circuit.Circuit`, `doorstep.guarded`, `vitals`.
"""
