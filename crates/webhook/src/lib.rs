//! The pod identity webhook: what makes an IAM role useful to a pod.
