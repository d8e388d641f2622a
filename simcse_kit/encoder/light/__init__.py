"""A model that answers without torch and transformers, whose imports take far longer than a query.

Once a model has been loaded in full, what was found out about it is kept in the user's cache as its *light form*: the
tokenizer as it came to be, pooling, settings, fingerprint. The next process of the same files takes it from there, and
imports no more than what runs, on the CPU: numpy for a few texts, or OpenVINO with a converted model. All that a light
form does not answer (a training step, another device, many texts in numpy) loads the model in full, at that moment.

A light form holds for the bytes of the model's files, the versions of the libraries, and the arguments of `SimCSE`. It
is kept only where its token ids and its vectors came out as those of the full model, and where loading had nothing to
say to the user. The checks of the full load hold for it too: it is of files that passed them.
"""
