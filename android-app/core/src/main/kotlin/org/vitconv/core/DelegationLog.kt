package org.vitconv.core

/**
 * How much a delegate took, from what the runtime logs: its Java interface doesn't tell.
 *
 *     Replacing 390 out of 477 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 115 partitions for the whole graph.
 */
object DelegationLog {
    private val line = Regex(
        """Replacing (\d+) (?:out of (\d+) )?node\(s\) with delegate \(([^)]*)\) node, yielding (\d+) partitions""",
    )

    /**
     * [lines] is what was logged since [marker], the line that was written just before the interpreter was made; null
     * where the log cannot be read. A delegate of which a readable log says nothing took nothing.
     */
    fun read(lines: List<String>?, marker: String, nodes: Int): Delegation {
        val since = lines?.indexOfLast { marker in it } ?: -1
        if (lines == null || since < 0) return Delegation(nodes, null, null)
        val found = lines.drop(since + 1).mapNotNull { line.find(it) }
        if (found.isEmpty()) return Delegation(nodes, 0, 1)
        return Delegation(
            nodes = found.firstNotNullOfOrNull { it.groupValues[2].toIntOrNull() } ?: nodes,
            delegatedNodes = found.sumOf { it.groupValues[1].toInt() },
            partitions = found.last().groupValues[4].toInt(),
        )
    }
}
