"""BibTeX entries of papers that several parts cite; a paper of only one part is in that part's file."""

GAO_2021 = """@inproceedings{gao-etal-2021-simcse,
  title = {{SimCSE}: Simple Contrastive Learning of Sentence Embeddings},
  author = {Gao, Tianyu and Yao, Xingcheng and Chen, Danqi},
  booktitle = {Proceedings of EMNLP},
  year = {2021},
  url = {https://aclanthology.org/2021.emnlp-main.552},
}"""

LIU_2023 = """@inproceedings{liu-etal-2023-rankcse,
  title = {{RankCSE}: Unsupervised Sentence Representations Learning via Learning to Rank},
  author = {Liu, Jiduan and Liu, Jiahao and Wang, Qifan and Wang, Jingang and Wu, Wei and Xian, Yunsen and
            Zhao, Dongyan and Chen, Kai and Yan, Rui},
  booktitle = {Proceedings of ACL},
  year = {2023},
  url = {https://aclanthology.org/2023.acl-long.771},
}"""

REIMERS_2019 = """@inproceedings{reimers-gurevych-2019-sentence,
  title = {Sentence-{BERT}: Sentence Embeddings using {Siamese} {BERT}-Networks},
  author = {Reimers, Nils and Gurevych, Iryna},
  booktitle = {Proceedings of EMNLP-IJCNLP},
  year = {2019},
  url = {https://aclanthology.org/D19-1410},
}"""

WU_2022 = """@inproceedings{wu-etal-2022-esimcse,
  title = {{ESimCSE}: Enhanced Sample Building Method for Contrastive Learning of Unsupervised Sentence Embedding},
  author = {Wu, Xing and Gao, Chaochen and Zang, Liangjun and Han, Jizhong and Wang, Zhongyuan and Hu, Songlin},
  booktitle = {Proceedings of COLING},
  year = {2022},
  url = {https://aclanthology.org/2022.coling-1.342},
}"""

YAN_2021 = """@inproceedings{yan-etal-2021-consert,
  title = {{ConSERT}: A Contrastive Framework for Self-Supervised Sentence Representation Transfer},
  author = {Yan, Yuanmeng and Li, Rumei and Wang, Sirui and Zhang, Fuzheng and Wu, Wei and Xu, Weiran},
  booktitle = {Proceedings of ACL-IJCNLP},
  year = {2021},
  url = {https://aclanthology.org/2021.acl-long.393},
}"""
