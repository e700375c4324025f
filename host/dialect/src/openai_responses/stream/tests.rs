//! Events in the order in which clients want them.
