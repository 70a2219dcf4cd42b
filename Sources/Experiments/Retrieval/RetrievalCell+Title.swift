extension RetrievalCell {
    /// Such as: setting 2, S 100, DPFP-2, delta.
    package var title: String { "setting \(task.setting.rawValue), S \(task.keys), \(memory.title)" }
}
