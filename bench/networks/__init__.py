"""What permuting a whole trained network is worth: accuracy and loss after one-shot pruning; needs torch."""
