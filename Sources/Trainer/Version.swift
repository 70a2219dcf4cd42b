import NN
import Tensors

/// The version of this package, written into every run folder and weights file.
public let packageVersion = "0.1.0"

/// The format of run folders and checkpoints: what an older package could not read raises it, and folders of every format up
/// to this one are read, whatever version made them.
///
/// 1: config.json, metrics.jsonl, samples.jsonl, checkpoints/step-N; a folder that names no format has this one.
/// 2: the tokenizer bpe, whose tokenizer.json has the format of Hugging Face's package.
public let runFormat = 2

/// Checks the format that a file names.
/// - Throws: `InputError` that names the file, where the format is newer than `runFormat`.
func checkFormat(_ format: Int, file: String, version: String) throws {
    guard format > runFormat else { return }
    throw InputError(
        "\(file): has the format \(format), of version \(version); this is version \(packageVersion), which reads "
            + "formats up to \(runFormat)")
}
