import Tensors

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
        return parts.isEmpty ? nil : "\(path): \(parts.joined(separator: "; "))"
    }
}
