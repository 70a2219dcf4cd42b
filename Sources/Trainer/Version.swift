/// The version of this package, written into every run folder and weights file.
public let packageVersion = "0.1.0"
