import Tensors

/// The rules by which a checkpoint's tensors are taken.
public enum LoadRule: Sendable, Hashable {
    /// The checkpoint has exactly the model's keys in their shapes, or nothing is changed.
    case strict
    /// Whatever the model has under the same key in the same shape is taken; the rest stays as it is and is reported.
    case matching
}

/// The steps that loading took so that a checkpoint fits a model.
public struct LoadReport: Hashable, Sendable {
    /// The path that was opened.
    public let path: String
    /// The number of files that held the tensors.
    public let fileCount: Int
    /// The prefix of all names that no key of the model has, such as "module._orig_mod."; a checkpoint inside another
    /// is part of it ("state_dict.model.").
    public internal(set) var prefix = ""
    /// Entries beside the weights that were ignored, such as "epoch" and "optimizer".
    public internal(set) var leftOut: [String] = []
    /// The keys that the file does not have and whose values were taken from another name of the same parameter.
    public internal(set) var otherNames: [String: String] = [:]

    /// The model's keys whose values were taken.
    public internal(set) var taken: [String] = []
    /// The model's keys that the file lacks; they keep their values. Loading strictly leaves none.
    public internal(set) var missing: [String] = []
    /// The tensors that the file has in another shape or type, or as buffers of other values, each with what was expected.
    public internal(set) var misshaped: [String] = []
    /// The file's tensors that the model lacks.
    public internal(set) var unused: [String] = []

    init(path: String, fileCount: Int) { (self.path, self.fileCount) = (path, fileCount) }

    /// One line for people; nil where there is nothing to say, as of a file with the model's own keys.
    public var note: String? {
        var parts: [String] = []
        if fileCount > 1 { parts.append("read from \(fileCount) files") }
        if !prefix.isEmpty { parts.append("\(JSONValue.quoted(prefix)) taken off all names") }
        if !leftOut.isEmpty { parts.append("left alone: \(leftOut.joined(separator: ", "))") }
        if let (key, name) = otherNames.min(by: { $0.key < $1.key }) {
            let count = otherNames.count
            parts.append(
                "\(count) shared parameter\(count == 1 ? "" : "s") taken from another name (\(key) from \(name)"
                    + (count == 1 ? ")" : ", …)"))
        }
        if !(missing + misshaped + unused).isEmpty { parts.append("\(taken.count) taken") }
        for (keys, name) in [(missing, "missing"), (misshaped, "of another shape"), (unused, "unused")]
        where !keys.isEmpty { parts.append("\(keys.count) \(name) (\(Misfits.list(keys)))") }
        return parts.isEmpty ? nil : "\(path): \(parts.joined(separator: "; "))"
    }
}
