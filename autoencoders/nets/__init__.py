"""Encoders and decoders, built for any image shape.

A net file gives two classes, and its yaml in `conf/net/` names both:

    Encoder(shape, context_size=0)            .features: F       forward(x, context) -> (B, F)
    Decoder(inputs, shape, context_size=0)                       forward(z, context) -> (B, C, H, W)

`context_size` is the size of a context vector that is joined at every layer; it is 0, and `context` None, unless
the model asks for that. Decoders return raw numbers: the likelihood owns the output activation. An encoder whose
first Z features are a code already says so with `.code: Z`: they are then the posterior's means, and Z is the
model's latent_dim. An encoder that has `.linear(inputs, outputs)` makes with it the layer that gives the posterior's
numbers, torch's own otherwise. Either class may have
`initialize(images)`: run once at the start of a fit with the uint8 training images, (N, C, H, W), before
processes synchronize, never on resume.
"""
