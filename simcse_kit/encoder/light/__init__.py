"""Light form of a model: answers without torch and transformers, whose imports take far longer than a query.

After a full load, the results are stored in the user's cache as the model's *light form*: the tokenizer in its final
state, pooling, settings, fingerprint. The next process that loads the same files uses it and imports only what runs on
the CPU: numpy for a few texts, or OpenVINO with a converted model. Whatever a light form cannot do (a training step,
another device, many texts in numpy) loads the full model at that moment.

A light form is valid for the bytes of the model's files, the library versions, and the arguments of `SimCSE`. It is
stored only if its token ids and vectors match the full model's, and if loading gave no notice. The checks of a full
load hold for it too, because its files passed them.
"""
