"""Changed views of a sentence, one file each."""
